"""What other software, and other languages, call the same thing: English, German, French, Spanish
and Italian.

Words are written as `snake_case` makes them: small letters without accents, `_` for all else. They
word hints, and name columns only where the reader is told that it may and says so.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping

SALES = {
    "date": (
        """day week week_start ds timestamp invoice_date order_date sale_date created_at paid_at
        purchase_date posting_date
        transaction_date month period datum tag woche monat bestelldatum belegdatum rechnungsdatum
        verkaufsdatum buchungsdatum
        zeitpunkt jour date_de_commande date_commande date_de_vente date_facture semaine mois fecha
        dia fecha_de_pedido fecha_pedido
        fecha_de_venta fecha_factura semana mes data giorno data_ordine data_vendita data_documento
        settimana mese"""
    ),
    "sku": (
        """item item_id product product_id stock_code article asin unique_id id item_number item_no
        item_code product_code
        product_sku variant_sku lineitem_sku line_item_sku seller_sku part_number part_no material
        artikel artikelnummer artikelnr
        artikel_nr art_nr artikelcode produkt produktnummer materialnummer reference ref
        code_article code_produit produit
        reference_article articulo codigo codigo_articulo codigo_de_articulo referencia producto
        articolo codice codice_articolo
        codice_prodotto prodotto"""
    ),
    "sales": (
        """units units_sold quantity qty demand sold volume y quantity_sold qty_sold
        quantity_ordered ordered_quantity
        lineitem_quantity line_item_quantity net_quantity net_items_sold items_sold pieces menge
        stuck stuckzahl anzahl absatz
        absatzmenge verkaufte_menge verkaufsmenge quantite qte quantite_vendue unites ventes
        cantidad unidades cantidad_vendida
        ventas vendidas quantita qta pezzi vendite quantita_venduta venduto"""
    ),
    "location": (
        """store store_id shop warehouse site outlet branch store_code location_name filiale
        filialnr lager markt standort
        niederlassung lagerort magasin entrepot boutique emplacement depot point_de_vente tienda
        almacen sucursal ubicacion negozio
        magazzino punto_vendita filiale_codice deposito"""
    ),
    "stock": (
        """on_hand stock_on_hand inventory inventory_level quantity_on_hand qty_on_hand available
        bestand lagerbestand
        stock_disponible en_stock existencias inventario stock_actual giacenza scorta esistenza"""
    ),
    "price": (
        """unit_price sale_price sales_price sell_price selling_price list_price retail_price
        lineitem_price preis stuckpreis
        verkaufspreis einzelpreis vk vk_preis prix prix_unitaire prix_de_vente precio
        precio_unitario precio_de_venta pvp prezzo
        prezzo_unitario prezzo_vendita prezzo_di_vendita"""
    ),
    "promotion": (
        """promo on_promotion onpromotion is_promo deal aktion werbung angebot promocion oferta
        promozione offerta"""
    ),
    "lead_time": (
        """leadtime lead_time_days lieferzeit wiederbeschaffungszeit delai delai_de_livraison plazo
        plazo_de_entrega
        tempo_di_consegna"""
    ),
    "category": (
        """product_category product_type department family group kategorie warengruppe
        produktgruppe categorie famille
        rayon categoria familia famiglia reparto"""
    ),
}
"""Schema name -> words, the likeliest first."""

SALES_WORDS = {name: tuple(words.split()) for name, words in SALES.items()}

WEAK = frozenset("id y ref reference referencia volume period available".split())
"""Words that mean other things as well: they only word hints."""

ORDER_NUMBERS = frozenset(
    """order order_id order_number order_no order_name invoice invoice_id invoice_no invoice_number
    invoiceno receipt receipt_id
    receipt_no receipt_number transaction transaction_id transaction_no ticket basket_id sale_id
    bon bonnr bonnummer bon_nr beleg
    belegnr belegnummer beleg_nr bestellung bestellnummer bestell_nr auftrag auftragsnummer
    rechnung rechnungsnummer rechnungsnr
    commande numero_de_commande no_commande facture numero_facture ticket_de_caisse pedido
    numero_de_pedido no_pedido factura
    numero_factura ordine numero_ordine fattura numero_fattura scontrino""".split()
)
"""Columns that number orders: rows are then lines of orders, of which a day has several."""

TOTALS = frozenset(
    """total totals grand_total subtotal sub_total sum overall summe gesamt gesamtsumme
    zwischensumme total_general sous_total
    ensemble suma total_geral totale totale_generale somma all_products""".split()
)
"""Cells that say that their row adds up others."""

WEEKDAYS = {
    word: day
    for day, words in enumerate(
        (
            "mo mon monday montag lun lundi lunes lunedi",
            "tu tue tues tuesday di die dienstag mar mardi martes martedi",
            "we wed wednesday mi mittwoch mer mercredi mie miercoles mercoledi",
            "th thu thur thurs thursday do don donnerstag jeu jeudi jue jueves gio giovedi",
            "fr fri friday freitag ven vendredi vie viernes venerdi",
            "sa sat saturday samstag sonnabend sam samedi sab sabado sabato",
            "su sun sunday so sonntag dim dimanche dom domingo domenica",
        )
    )
    for word in words.split()
}
"""Names of weekdays and the number of each, 0 for Monday."""


def snake_case(column: str) -> str:
    """`Units Sold`, `unitsSold` and `UNITS-SOLD` as `units_sold`; `Stück` as `stuck`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(column)).casefold()
    folded = "".join(
        c for c in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(c)
    )
    return re.sub(r"[^a-z0-9]+", "_", folded).strip("_")


def nearest(
    name: str, columns: Iterable[str], words: Mapping[str, tuple[str, ...]] = SALES_WORDS
) -> str | None:
    """The column most likely meant by the schema name `name`, to word a hint; None where none looks
    like it.
    """
    found = {column: snake_case(column) for column in columns}
    for wanted in (name, *words.get(name, ())):
        for column, text in found.items():
            if text == wanted:
                return column
    for column, text in found.items():
        if name in text.split("_"):
            return column
    close = difflib.get_close_matches(name, found.values(), n=1, cutoff=0.7)
    return next((column for column, text in found.items() if text in close), None)


def certain(
    name: str, columns: Iterable[str], words: Mapping[str, tuple[str, ...]] = SALES_WORDS
) -> list[str]:
    """Columns whose whole name is a word for `name`: its own name first, else all that are
    synonyms.
    """
    found = {column: snake_case(column) for column in columns}
    own = [column for column, text in found.items() if text == name]
    return own or [column for column, text in found.items() if text in words.get(name, ())]
