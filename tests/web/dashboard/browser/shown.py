"""What is looked at in the browser: the pages, and what keeps people out of them."""

from __future__ import annotations

PAGES = {
    "overview": "",
    "functions": "functions",
    "requests": "requests",
    "errors": "errors",
    "delivery": "delivery",
    "system": "system",
    "services": "services",
    "logs": "logs",
    "function": "functions/detail?name=shop.search.load_search&range=24h",
    "request": "requests/detail?method=POST&route=/checkout&range=24h",
}
"""The pages' addresses, by name."""

VIOLATIONS = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.map(({id, impact, nodes}) => [impact, id, nodes[0].html.slice(0, 120)]);
}"""
"""What axe-core, which the page was given, finds wrong: how grave it is, the rule, and where."""
