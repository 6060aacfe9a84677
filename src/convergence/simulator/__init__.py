"""A faithful, strict fake of every provider API, seeded, with exactly known truth and faults on demand."""

from convergence.simulator.anthropic import AnthropicWorld
from convergence.simulator.cursor import CursorWorld
from convergence.simulator.deepseek import DeepSeekWorld, ExportForm, build_export, zip_export
from convergence.simulator.faults import FaultRule, rate_limited
from convergence.simulator.google_sheets import GoogleSheetsWorld
from convergence.simulator.openai import OpenAIWorld
from convergence.simulator.server import create_simulator_app
from convergence.simulator.serving import SimulatorProcess, SimulatorServer, run_simulator
from convergence.simulator.simulator import Simulator

DEMO_KEY = "sk-admin-simulator-0123456789abcdef"
ANTHROPIC_DEMO_KEY = "sk-ant-admin01-simulator-0123456789abcdef"
CURSOR_DEMO_KEY = "crsr_simulator0123456789abcdef"
DEEPSEEK_DEMO_KEY = "sk-simulator0123456789abcdef01234567"
GOOGLE_SHEETS_DEMO_KEY = "AIzaSimulator0123456789abcdefghijklmnop"

__all__ = [
    "ANTHROPIC_DEMO_KEY",
    "CURSOR_DEMO_KEY",
    "DEEPSEEK_DEMO_KEY",
    "DEMO_KEY",
    "GOOGLE_SHEETS_DEMO_KEY",
    "AnthropicWorld",
    "CursorWorld",
    "DeepSeekWorld",
    "ExportForm",
    "FaultRule",
    "GoogleSheetsWorld",
    "OpenAIWorld",
    "Simulator",
    "SimulatorProcess",
    "SimulatorServer",
    "build_export",
    "create_simulator_app",
    "rate_limited",
    "run_simulator",
    "zip_export",
]
