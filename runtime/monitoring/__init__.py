"""Shows a process to its operators: ``health``, the page of ``metrics_page``, and traces (``tracing``, ``otlp``)."""
