"""The tables of a plan besides sales, as data: their columns, what a cell may hold, and what it means where it is empty.

Sales have a schema of their own (`jaxinv.data.schema`). `python -m jaxinv.inspect` and all messages speak of these columns.
"""

from dataclasses import dataclass, field

KINDS = ("text", "number", "share", "date", "weekdays", "steps")
"""Kinds of cells: a share is 0.97 or 97%; weekdays are "Mon, Thu"; steps are numbers with bars between, "0|100|500"."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      meaning: in words, with the unit.
      kind: one of `KINDS`.
      needed: it has to be there and filled.
      least, most: of its numbers; `open_ends` where they may not be reached.
      otherwise: what holds where nothing is given; empty where that is nothing.
      words: what other software and languages call it, as `jaxinv.data.words.plain` writes it.
    """

    meaning: str
    kind: str = "number"
    needed: bool = False
    least: float = 0.0
    most: float = 1e15
    open_ends: bool = False
    otherwise: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      meaning: one line.
      columns: by name.
      key: columns that together name a row; empty where rows may repeat.
      others: what columns outside the schema are: "" unknown, "covariate" numbers that are kept.
      words: other names of its file.
    """

    meaning: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    others: str = ""
    words: tuple[str, ...] = field(default=())


_SKU = tuple(
    """item item_id product product_id product_code item_code item_number article artikel artikelnummer artikelnr artikel_nr code_article
    articulo codigo articolo codice codice_articolo variant_sku seller_sku""".split()
)
_PLACE = tuple("store shop warehouse site location_name filiale lager lagerort magasin entrepot tienda almacen negozio magazzino".split())
_SOURCE = tuple("supplier vendor from lieferant von fournisseur de proveedor origen fornitore da origin".split())
_TARGET = tuple("to ship_to deliver_to warehouse location nach ziel empfanger lager vers destinataire destino a destinazione".split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _text(meaning: str, words: tuple[str, ...] | str = (), needed: bool = False, otherwise: str = "") -> Column:
    return Column(meaning, "text", needed, otherwise=otherwise, words=_words(words) if isinstance(words, str) else words)


def _date(meaning: str, words: str = "", needed: bool = False, otherwise: str = "") -> Column:
    return Column(meaning, "date", needed, otherwise=otherwise, words=_words(words))


def _number(meaning: str, words: str = "", needed: bool = False, least: float = 0.0, otherwise: str = "") -> Column:
    return Column(meaning, "number", needed, least, otherwise=otherwise, words=_words(words))


_SKU_NEEDED = _text("the product", _SKU, needed=True)

TABLES = {
    "items": Table(
        "products: one row a SKU",
        {
            "sku": _SKU_NEEDED,
            "name": _text("what it is called", "title description product_name item_name bezeichnung artikelbezeichnung designation nombre descripcion nome descrizione"),
            "category": _text("class of products", "product_type department family group kategorie warengruppe categorie famille categoria familia famiglia"),
            "cost": _number("money a unit bought", "unit_cost purchase_price buying_price cost_price cogs ek ek_preis einkaufspreis einstandspreis prix_achat prix_d_achat cout coste precio_de_compra costo prezzo_acquisto prezzo_di_acquisto", otherwise="price times (1 - margin); 1 where no price is known"),
            "price": _number("money a unit sold", "unit_price sale_price selling_price retail_price list_price vk vk_preis verkaufspreis preis prix prix_de_vente precio precio_de_venta pvp prezzo prezzo_vendita", otherwise="the last price of the sales; else cost / (1 - margin)"),
            "holding_rate": _number("cost of stock, a share of `cost` a year", "holding_cost_rate carrying_rate lagerkostensatz", otherwise="that of the location, else of the settings") ,
            "shortage_cost": _number("money a unit that is asked for and not there", "stockout_cost lost_sale_cost fehlmengenkosten", otherwise="(price - cost) times shortage_markup"),
            "service": Column("share of demand to be met from stock (fill rate)", "share", open_ends=True, most=1.0, otherwise="service of the settings, if given", words=_words("service_level fill_rate servicegrad taux_de_service nivel_de_servicio livello_di_servizio")),
            "pack": Column("units of a pack; orders are whole packs", least=0.0, open_ends=True, otherwise="1", words=_words("pack_size case_pack case_size multiple order_multiple lot_size vpe verpackungseinheit gebinde colisage unidad_de_embalaje multiplo confezione")),
            "minimum": _number("units of a SKU that an order has at least", "min_order moq minimum_order minimum_order_quantity mindestbestellmenge mindestmenge minimum_de_commande pedido_minimo ordine_minimo", otherwise="0"),
            "volume": Column("volume of a unit", least=0.0, open_ends=True, otherwise="a unit fills 1 of a location's capacity", words=_words("unit_volume volumen cbm m3 volumen_unitario")),
            "shelf_life": Column("days from arrival to waste", least=0.0, open_ends=True, otherwise="keeps for ever", words=_words("shelf_life_days haltbarkeit mhd_tage duree_de_vie vida_util durata")),
            "launch": _date("first day that it is sold", "launch_date start start_date einfuhrung lancement lanzamiento lancio", otherwise="sold all along"),
            "end": _date("last day that it is ordered for", "end_date discontinued auslauf fin fine", otherwise="goes on"),
            "like": _text("the SKU whose sales a new one is expected to follow", "similar_to analog wie comme como come"),
        },
        ("sku",),
        words=_words("products articles item_master artikel produkte articulos articoli produits"),
    ),
    "locations": Table(
        "places that hold stock: one row a location",
        {
            "location": _text("store or warehouse", _PLACE, needed=True),
            "name": _text("what it is called", "title bezeichnung nom nombre nome"),
            "capacity": Column("units that it holds, or volume where items have one", least=0.0, open_ends=True, otherwise="no limit", words=_words("max_stock kapazitat capacite capacidad capacita")),
            "holding_rate": _number("cost of stock, a share of cost a year", "holding_cost_rate carrying_rate lagerkostensatz", otherwise="that of the settings"),
        },
        ("location",),
        words=_words("stores warehouses sites standorte filialen lager magasins tiendas almacenes magazzini"),
    ),
    "lanes": Table(
        "who supplies whom: one row a source and destination, or a source, destination and SKU",
        {
            "source": _text("supplier, or a location", _SOURCE, needed=True),
            "destination": _text("the location that orders", _TARGET, otherwise="the one location"),
            "sku": _text("the product, where the row is for one only", _SKU, otherwise="all products"),
            "lead_time": _number("days from order to arrival", "leadtime lead_time_days days lieferzeit wiederbeschaffungszeit delai delai_de_livraison plazo plazo_de_entrega tempo_di_consegna", otherwise="what receipts show, else lead_time of the settings"),
            "lead_time_spread": _number("standard deviation of the lead time in days", "lead_time_sd lead_time_std streuung", otherwise="what receipts show, else 0"),
            "order_days": Column("weekdays on which orders go out, such as Mon, Thu", "weekdays", otherwise="any day", words=_words("order_day order_weekdays bestelltage bestelltag jours_de_commande dias_de_pedido giorni_ordine")),
            "every": Column("weeks between order days", least=1.0, otherwise="1", words=_words("every_weeks interval_weeks weeks bestellrhythmus")),
            "anchor": _date("one date on which orders go out, where `every` is above 1", "first_order_date", otherwise="the week of as_of"),
            "unit_cost": _number("money a unit besides the item's cost, such as freight or duty", "freight_per_unit unit_freight fracht_je_stuck", otherwise="0"),
            "fixed_cost": _number("money an order", "order_cost ordering_cost fixed_order_cost bestellkosten cout_de_commande coste_de_pedido costo_ordine", otherwise="0"),
            "freight_from": Column("units from which each freight rate holds, such as 0|100|500", "steps", otherwise="no tiers"),
            "freight_rate": Column("freight a unit in each tier, such as 0.9|0.6|0.4", "steps", otherwise="no tiers"),
            "minimum_units": _number("units that an order has at least, all SKUs together", "min_units minimum_quantity", otherwise="0"),
            "minimum_money": _number("money that an order has at least, all SKUs together", "min_money minimum_value minimum_order_value mindestbestellwert minimum_amount", otherwise="0"),
            "limit": Column("units that may be ordered a period", least=0.0, open_ends=True, otherwise="no limit", words=_words("max_units maximum capacity")),
            "currency": _text("currency of the money of this row and of what is bought on it", "wahrung devise moneda valuta", otherwise="that of the settings"),
        },
        ("source", "destination", "sku"),
        words=_words("suppliers supply routes lieferanten fournisseurs proveedores fornitori"),
    ),
    "stock": Table(
        "what is there today: one row a SKU and location",
        {
            "sku": _SKU_NEEDED,
            "location": _text("where", _PLACE, otherwise="the one location"),
            "stock": _number("units on hand", "on_hand quantity qty stock_on_hand quantity_on_hand inventory available bestand lagerbestand menge en_stock quantite existencias inventario cantidad giacenza quantita", needed=True),
            "date": _date("the day it was counted", "counted stock_date as_of datum stand fecha data", otherwise="as_of"),
        },
        ("sku", "location"),
        words=_words("inventory on_hand bestand stocks existencias giacenze inventario"),
    ),
    "open_orders": Table(
        "what was ordered and has not arrived: one row an order and SKU",
        {
            "sku": _SKU_NEEDED,
            "source": _text("where it comes from", _SOURCE, otherwise="the one lane to its destination"),
            "destination": _text("where it goes", _TARGET, otherwise="the one location"),
            "quantity": Column("units still to come", needed=True, open_ends=True, words=_words("qty units open_quantity menge quantite cantidad quantita")),
            "due": _date("the day it is to arrive", "due_date expected expected_date eta delivery_date liefertermin lieferdatum date_de_livraison fecha_de_entrega data_consegna", otherwise="ordered plus the lead time"),
            "ordered": _date("the day it was ordered", "order_date ordered_date date bestelldatum date_de_commande fecha_de_pedido data_ordine"),
        },
        words=_words("orders_open purchase_orders on_order open_purchase_orders bestellungen offene_bestellungen commandes pedidos_abiertos ordini_aperti"),
    ),
    "calendar": Table(
        "what is known ahead: one row a date, or a date and SKU or location",
        {
            "date": _date("the day", "day datum tag jour fecha data giorno", needed=True),
            "sku": _text("the product, where the row is for one only", _SKU, otherwise="all products"),
            "location": _text("the location, where the row is for one only", _PLACE, otherwise="all locations"),
            "promotion": _number("0 or 1, or a share", "promo on_promotion aktion werbung promocion promozione"),
            "price": _number("price on that day", "unit_price preis prix precio prezzo"),
            "holiday": _number("0 or 1", "event feiertag ferie fete festivo"),
        },
        ("date", "sku", "location"),
        "covariate",
        words=_words("events promotions kalender calendrier calendario aktionen"),
    ),
    "receipts": Table(
        "what was ordered and came: one row an order and SKU",
        {
            "sku": _SKU_NEEDED,
            "source": _text("where it came from", _SOURCE, otherwise="the one lane to its destination"),
            "destination": _text("where it went", _TARGET, otherwise="the one location"),
            "ordered": _date("the day it was ordered", "order_date ordered_date po_date bestelldatum date_de_commande fecha_de_pedido data_ordine", needed=True),
            "quantity": Column("units ordered", needed=True, open_ends=True, words=_words("qty units ordered_quantity quantity_ordered bestellmenge menge quantite cantidad quantita")),
            "received": _date("the day it came; empty: never", "received_date receipt_date delivered delivered_date arrival wareneingang eingangsdatum date_de_reception fecha_de_recepcion data_ricezione"),
            "received_quantity": _number("units that came", "quantity_received received_qty delivered_quantity eingangsmenge quantite_recue cantidad_recibida quantita_ricevuta", otherwise="all, where there is a day; else none"),
        },
        words=_words("goods_receipts deliveries wareneingange lieferungen receptions recepciones ricezioni purchase_history"),
    ),
}  # fmt: skip
"""The tables, by name."""
SALES_FILES = _words("order_lines transactions verkaufe absatz umsatz umsatze ventes ventas vendite sales_history orders")
"""Other names of the file of sales."""
