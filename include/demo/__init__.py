"""The demo: public data, a replay of its future as live traffic, and the story that drives the main job."""
