import subprocess
import sys


def test_without_the_package_the_fit_says_what_to_install():
    code = (
        "import sys; sys.modules['marginaleffects'] = None\n"
        "import mixedlab as ml\n"
        "fit = ml.lmm('Yield ~ 1 + (1 | Batch)', ml.load('dyestuff'))\n"
        "try: fit.effects_model()\n"
        "except ml.errors.MixedlabError as error: print(error)\n"
    )
    code = code.replace("ml.errors", "__import__('mixedlab.errors').errors")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'mixedlab[effects]'" in found.stdout
