"""Other programs that compute the same numbers, behind the same interface."""
