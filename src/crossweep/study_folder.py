"""The files of a study's folder by name. The trial folders are the source of truth; all else is rebuilt from them.

study.json               what the study is
trial_<n>/trial.json     what became of a trial; beside it the run's record, or error.txt
trial_<n>/seed_<s>/      the runs of a trial with several seeds
study.journal, study.db  Optuna's storage
results.*, report.html, figures/   what was made of it
workers/, .leases/       who works on it
"""

from pathlib import Path

STUDY, TRIAL, ERROR = "study.json", "trial.json", "error.txt"
JOURNAL, DATABASE = "study.journal", "study.db"
TABLES = ("results.parquet", "results.csv")
REPORT, FIGURES = "report.html", "figures"
WORKERS, LEASES = "workers", ".leases"
START_LOCK, LEDGER_LOCK, TABLE_LOCK = ".start.lock", ".ledger.lock", ".table.lock"
OWN_FOLDERS = (FIGURES, WORKERS, "cache")  # of a study or of the folder of all studies: no trials
_TRIAL, _SEED = "trial_", "seed_"


def trial_folder(study: Path, number: int) -> Path:
    """Folder of a trial."""
    return study / f"{_TRIAL}{number}"


def trial_numbers(study: Path) -> list[int]:
    """Numbers of the trials that have a folder, in order."""
    found = (folder.name.removeprefix(_TRIAL) for folder in study.glob(f"{_TRIAL}*"))
    return sorted(int(digits) for digits in found if digits.isdecimal())


def run_folder(number: int, seed: int | None) -> str:
    """Where a run lies below the study's folder; ``seed`` is that of one of several runs of the trial."""
    return f"{_TRIAL}{number}" + ("" if seed is None else f"/{_SEED}{seed}")


def is_seed(name: str) -> bool:
    """Whether a folder below a trial's is the run of one seed."""
    return name.startswith(_SEED)


def lease_file(study: Path, number: int) -> Path:
    """Where the worker of a running trial signs."""
    return study / LEASES / f"{number}.json"
