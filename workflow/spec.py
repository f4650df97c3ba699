"""What every specification promises."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Complete, frozen, strict and closed: an unknown, missing or mistyped field is an error before any job starts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
