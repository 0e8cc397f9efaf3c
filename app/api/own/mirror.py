"""The words of the queue as models of the API's description: the same fields, declared once, over there."""

import functools
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, create_model


@functools.cache
def of(struct: type[msgspec.Struct], *, name: str = '', without: tuple[str, ...] = ()) -> type[BaseModel]:
    """A model with the fields of ``struct``, which may be made from one (``model_validate``)."""
    hints = get_type_hints(struct)
    config = struct.__struct_config__
    fields: dict[str, Any] = {
        field.name: (_type(hints[field.name]), _default(field) if config.omit_defaults else ...)
        for field in msgspec.structs.fields(struct)
        if field.name not in without
    }
    if config.tag is not None:
        fields = {str(config.tag_field): (Literal[config.tag], ...), **fields}
    return create_model(
        name or struct.__name__,
        __doc__=struct.__doc__,
        __config__=ConfigDict(from_attributes=True, validate_default=True),
        **fields,
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """What a field has that is left out, where such fields are left out on the wire; else it is always there."""
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return ...
    return msgspec.to_builtins(value)


def _type(hint: Any) -> Any:
    """The type as pydantic takes it."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return of(hint)
    arguments = get_args(hint)
    if get_origin(hint) in (tuple, list):
        return list[_type(arguments[0])]  # type: ignore[misc]
    if get_origin(hint) is dict:
        return dict[arguments[0], _type(arguments[1])]  # type: ignore[valid-type,misc]
    if arguments and type(None) in arguments:
        return Union[tuple(_type(each) for each in arguments)]  # noqa: UP007  it is made at run time
    return hint
