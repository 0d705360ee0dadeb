"""The clients of services that are only asked whether they work: one module a product, the only one that imports it."""
