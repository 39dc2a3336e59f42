"""The models: each brings the engine and a design together and returns a fit."""
