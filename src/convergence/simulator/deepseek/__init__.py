"""DeepSeek: the few calls that an API key may make, and the export of its console."""

from convergence.simulator.deepseek.export import ExportForm, build_export, zip_export
from convergence.simulator.deepseek.world import DeepSeekWorld

__all__ = ["DeepSeekWorld", "ExportForm", "build_export", "zip_export"]
