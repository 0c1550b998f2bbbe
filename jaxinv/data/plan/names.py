"""What other software, and other languages, call the files and columns of a plan; written as
`jaxinv.data.words.snake_case` makes it.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SKU = _words(
    """item item_id product product_id product_code item_code item_number article artikel
    artikelnummer artikelnr artikel_nr
    code_article articulo codigo articolo codice codice_articolo variant_sku seller_sku"""
)
_PLACE = _words(
    """store shop warehouse site location_name filiale lager lagerort magasin entrepot tienda
    almacen negozio magazzino"""
)
_SOURCE = _words(
    "supplier vendor from lieferant von fournisseur de proveedor origen fornitore da origin"
)
_TARGET = _words(
    """to ship_to deliver_to warehouse location nach ziel empfanger lager vers destinataire destino
    a destinazione"""
)

COLUMN_NAMES = {
    "items": {
        "sku": _SKU,
        "name": _words(
            """title description product_name item_name bezeichnung artikelbezeichnung designation
            nombre descripcion nome
            descrizione"""
        ),
        "category": _words(
            """product_type department family group kategorie warengruppe categorie famille
            categoria familia famiglia"""
        ),
        "cost": _words(
            """unit_cost purchase_price buying_price cost_price cogs ek ek_preis einkaufspreis
            einstandspreis prix_achat
            prix_d_achat cout coste precio_de_compra costo prezzo_acquisto prezzo_di_acquisto"""
        ),
        "price": _words(
            """unit_price sale_price selling_price retail_price list_price vk vk_preis
            verkaufspreis preis prix prix_de_vente
            precio precio_de_venta pvp prezzo prezzo_vendita"""
        ),
        "holding_rate": _words("holding_cost_rate carrying_rate lagerkostensatz"),
        "shortage_cost": _words("stockout_cost lost_sale_cost fehlmengenkosten"),
        "service": _words(
            "service_level fill_rate servicegrad taux_de_service nivel_de_servicio"
            " livello_di_servizio"
        ),
        "pack": _words(
            """pack_size case_pack case_size multiple order_multiple lot_size vpe
            verpackungseinheit gebinde colisage
            unidad_de_embalaje multiplo confezione"""
        ),
        "minimum": _words(
            """min_order moq minimum_order minimum_order_quantity mindestbestellmenge mindestmenge
            minimum_de_commande
            pedido_minimo ordine_minimo"""
        ),
        "volume": _words("unit_volume volumen cbm m3 volumen_unitario"),
        "shelf_life": _words("shelf_life_days haltbarkeit mhd_tage duree_de_vie vida_util durata"),
        "launch": _words("launch_date start start_date einfuhrung lancement lanzamiento lancio"),
        "end": _words("end_date discontinued auslauf fin fine"),
        "like": _words("similar_to analog wie comme como come"),
    },
    "locations": {
        "location": _PLACE,
        "name": _words("title bezeichnung nom nombre nome"),
        "capacity": _words("max_stock kapazitat capacite capacidad capacita"),
        "holding_rate": _words("holding_cost_rate carrying_rate lagerkostensatz"),
    },
    "lanes": {
        "source": _SOURCE,
        "destination": _TARGET,
        "sku": _SKU,
        "lead_time": _words(
            """leadtime lead_time_days days lieferzeit wiederbeschaffungszeit delai
            delai_de_livraison plazo plazo_de_entrega
            tempo_di_consegna"""
        ),
        "lead_time_spread": _words("lead_time_sd lead_time_std streuung"),
        "order_days": _words(
            """order_day order_weekdays bestelltage bestelltag jours_de_commande dias_de_pedido
            giorni_ordine"""
        ),
        "every": _words("every_weeks interval_weeks weeks bestellrhythmus"),
        "anchor": _words("first_order_date"),
        "unit_cost": _words("freight_per_unit unit_freight fracht_je_stuck"),
        "fixed_cost": _words(
            """order_cost ordering_cost fixed_order_cost bestellkosten cout_de_commande
            coste_de_pedido costo_ordine"""
        ),
        "minimum_units": _words("min_units minimum_quantity"),
        "minimum_money": _words(
            "min_money minimum_value minimum_order_value mindestbestellwert minimum_amount"
        ),
        "limit": _words("max_units maximum capacity"),
        "currency": _words("wahrung devise moneda valuta"),
    },
    "stock": {
        "sku": _SKU,
        "location": _PLACE,
        "stock": _words(
            """on_hand quantity qty stock_on_hand quantity_on_hand inventory available bestand
            lagerbestand menge en_stock quantite
            existencias inventario cantidad giacenza quantita"""
        ),
        "date": _words("counted stock_date as_of datum stand fecha data"),
        "min_stock": _words(
            """min minimum min_qty minimum_stock stock_min reorder_point order_point rop
            mindestbestand meldebestand stock_minimum
            seuil_de_commande stock_minimo punto_de_pedido scorta_minima punto_di_riordino"""
        ),
        "max_stock": _words(
            """max maximum max_qty maximum_stock stock_max order_up_to order_up_to_level par_level
            hochstbestand maximalbestand
            stock_maximum stock_maximal stock_maximo scorta_massima"""
        ),
    },
    "open_orders": {
        "sku": _SKU,
        "source": _SOURCE,
        "destination": _TARGET,
        "quantity": _words("qty units open_quantity menge quantite cantidad quantita"),
        "due": _words(
            """due_date expected expected_date eta delivery_date liefertermin lieferdatum
            date_de_livraison fecha_de_entrega
            data_consegna"""
        ),
        "ordered": _words(
            "order_date ordered_date date bestelldatum date_de_commande fecha_de_pedido data_ordine"
        ),
    },
    "calendar": {
        "date": _words("day datum tag jour fecha data giorno"),
        "sku": _SKU,
        "location": _PLACE,
        "promotion": _words("promo on_promotion aktion werbung promocion promozione"),
        "price": _words("unit_price preis prix precio prezzo"),
        "holiday": _words("event feiertag ferie fete festivo"),
    },
    "receipts": {
        "sku": _SKU,
        "source": _SOURCE,
        "destination": _TARGET,
        "ordered": _words(
            "order_date ordered_date po_date bestelldatum date_de_commande fecha_de_pedido"
            " data_ordine"
        ),
        "quantity": _words(
            "qty units ordered_quantity quantity_ordered bestellmenge menge quantite cantidad"
            " quantita"
        ),
        "received": _words(
            """received_date receipt_date delivered delivered_date arrival wareneingang
            eingangsdatum date_de_reception
            fecha_de_recepcion data_ricezione"""
        ),
        "received_quantity": _words(
            """quantity_received received_qty delivered_quantity eingangsmenge quantite_recue
            cantidad_recibida quantita_ricevuta"""
        ),
    },
}
"""By table and column."""

FILE_NAMES = {
    "sales": _words(
        """sale order_lines transactions sales_history orders pos verkauf verkaufe verkaeufe
        abverkauf absatz umsatz umsatze umsaetze
        ventes vente ventas venta vendite vendita"""
    ),
    "items": _words(
        """item product products article articles item_master skus artikel artikelstamm produkt
        produkte articulo articulos articolo
        articoli produit produits"""
    ),
    "locations": _words(
        """location store stores warehouse warehouses site sites standort standorte filiale
        filialen lager magasin magasins tienda
        tiendas almacen almacenes magazzino magazzini"""
    ),
    "lanes": _words(
        """lane supplier suppliers vendor vendors supply routes lieferant lieferanten fournisseur
        fournisseurs proveedor proveedores
        fornitore fornitori"""
    ),
    "stock": _words(
        """stocks inventory on_hand bestand bestande bestaende lagerbestand lagerbestande
        inventaire existencias giacenza giacenze
        inventario"""
    ),
    "open_orders": _words(
        """open_order orders_open purchase_order purchase_orders on_order open_purchase_orders
        bestellung bestellungen
        offene_bestellungen commande commandes pedidos_abiertos ordini_aperti"""
    ),
    "calendar": _words(
        "event events promotion promotions kalender calendrier calendario aktion aktionen"
    ),
    "receipts": _words(
        """receipt goods_receipt goods_receipts delivery deliveries wareneingang wareneingange
        wareneingaenge lieferung lieferungen
        reception receptions recepcion recepciones ricezione ricezioni purchase_history"""
    ),
}
"""Of files and sheets, by table."""
