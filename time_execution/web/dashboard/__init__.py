"""The dashboard: pages that a browser fills with the figures of a metrics database, live, from this host alone."""
