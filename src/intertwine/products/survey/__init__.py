"""The survey of all products: names, what each couples, how free it is, what it costs, and which to choose."""

__all__: list[str] = []
