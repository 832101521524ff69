"""Makes the files of evidence/: our number beside the paper's, with n, mean, standard error, settings and machine.

    python evidence/make.py NAME [--seeds 0 1 2] [--threads 2] [--work FOLDER]

Runs are kept in the work folder and resumed, so an interrupted make goes on where it stopped. A file is written when
every seed is there. Each file beside this one is a group of makers; `python evidence/make.py --help` lists their names.
"""

import argparse
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
GROUPS = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("make", "tools"))
MAKERS = {maker.__name__: maker for group in GROUPS for maker in import_module(group).MAKERS}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MAKERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    MAKERS[given.name](given.work, given.seeds, given.threads)
