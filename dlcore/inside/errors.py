"""What a view raises for what it cannot show; a film, which stands below the views, raises the same."""

from dlcore.runs.film import LookError

__all__ = ["LookError"]
