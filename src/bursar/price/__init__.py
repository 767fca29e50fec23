"""What calls cost: dated integer rates of every known model, and the bill of one attempt.

May import: the standard library, msgspec and `model`. Only `compile` imports genai-prices, and
only when no compiled file fits.
"""

from bursar.price.book import Book, Listed, load_book
from bursar.price.rates import Line, Priced, Rates, RateSet, Tier, price_with

__all__ = [
    "Book",
    "Line",
    "Listed",
    "Priced",
    "RateSet",
    "Rates",
    "Tier",
    "load_book",
    "price_with",
]
