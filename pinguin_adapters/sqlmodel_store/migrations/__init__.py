"""Alembic's folder: how it runs (`env.py`), and the versions of the schema."""
