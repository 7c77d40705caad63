"""``python -m medical_kg``: the command line."""

from medical_kg.cli import main

if __name__ == "__main__":
    main()
