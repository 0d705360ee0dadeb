"""The public face in web applications: requests are measured, health and metrics answered, the dashboard shown.

`flask`, `asgi` and `django` hold what an application calls: ``init_app`` or a middleware. They translate between their
framework and `site`, which answers; `access` decides who may see what; `message` holds what passes between them.
Nothing here is loaded until one of them is asked for.
"""
