"""The HTTP side of imagen: routes, settings, processes. Knows neither torch nor the model."""
