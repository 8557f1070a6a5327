"""The ``intertwine`` command; each command is a module with ``main(arguments, console) -> int | None``."""

__all__: list[str] = []
