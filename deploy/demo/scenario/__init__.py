"""The demo's scenario: the plan of its steps, the expected and the seen results, the screen and the report."""
