"""How a person is told what to do about an error: by the option of the command that does it. Imports nothing but the errors."""

from counterstain.errors import CounterstainError, Remedy


def in_options(error: BaseException) -> str:
    """Return the message of an error, its remedies worded as options."""
    return error.worded(_option) if isinstance(error, CounterstainError) else str(error)


def _option(remedy: Remedy) -> str:
    if not remedy.setting:
        return remedy.do
    option = f"--{remedy.setting.replace('_', '-')} {remedy.value}".rstrip()
    return f"{remedy.do} with {option}"
