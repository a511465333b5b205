"""Scores of separation: BSS Eval v4 as museval computes it, ceilings and floors, tables and pictures."""
