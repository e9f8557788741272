"""Judges files of docker/ and kubernetes/ by their schemas, and gives YAML as JSON; faults go to standard error, and make it fail."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

SCHEMA = pathlib.Path(__file__).parent / "schemas" / "compose-spec.json"


def documents(path):
    return [document for document in yaml.safe_load_all(pathlib.Path(path).read_text()) if document]


def compose(paths):
    schema = json.loads(SCHEMA.read_text())
    judge = jsonschema.Draft7Validator(schema)
    for path in paths:
        for document in documents(path):
            for fault in judge.iter_errors(document):
                yield f"{path}: {fault.json_path}: {fault.message}"


def kubernetes(paths):
    for path in paths:
        for document in documents(path):
            try:
                kubernetes_validate.validate(document, "1.37", strict=True)
            except kubernetes_validate.ValidationError as fault:
                yield f"{path}: {fault.message}"


def main(what, *paths):
    if what == "json":
        print(json.dumps([document for path in paths for document in documents(path)]))
        return 0
    faults = list({"compose": compose, "kubernetes": kubernetes}[what](paths))
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


sys.exit(main(*sys.argv[1:]))
