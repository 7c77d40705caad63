"""Writing the start of a plugin: a package with one stage type that installs and passes its tests as it is written."""

from medical_kg.scaffold.write import NewStage, new_stage

__all__ = ["NewStage", "new_stage"]
