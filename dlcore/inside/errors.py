"""What a view raises for what it cannot show."""


class LookError(ValueError):
    """What is asked for cannot be seen; its text is a sentence for people that says what can."""
