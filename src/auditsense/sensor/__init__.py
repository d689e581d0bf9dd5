"""Live: a source through a detector to the caller."""

from auditsense.sensor.sensor import Sensor

__all__ = ["Sensor"]
