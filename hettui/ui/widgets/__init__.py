"""The widgets: sliders, gauges, panes. Each draws a snapshot and posts messages."""
