"""The databases that a store may be in, each real."""

from store.places import database_servers, place, served_place

__all__ = ["database_servers", "place", "served_place"]
