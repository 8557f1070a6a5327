"""``intertwine products``: which tensor product to use."""

__all__: list[str] = []
