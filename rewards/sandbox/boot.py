"""How a fresh interpreter comes to run a function of zygote.py: `python -c BOOT FUNCTION FOLDER JSON`.

It imports the few files of this folder and not the packages around them, so that a box holds none of the verifiers.
"""

BOOT = """
import json, sys, types
function, folder, argument = sys.argv[1:]
for name in ("rlpath", "rlpath.rewards", "rlpath.rewards.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from rlpath.rewards.sandbox import zygote
getattr(zygote, function)(json.loads(argument))
"""
