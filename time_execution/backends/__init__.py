"""One module for each product; import the one you use (``time_execution.backends.sqlite``), none is imported here."""
