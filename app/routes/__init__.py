"""One file per resource; each has a `router` that app.main includes."""
