"""A test as it stands in a suite, before it is filled in and becomes cases."""

from __future__ import annotations

from typing import Any

import msgspec

from localprompt.errors import DatasetError
from localprompt.records.score import AnyExpectation, Script
from localprompt.sources.yaml import At


class Test(msgspec.Struct, frozen=True):
    """A test as it stands in a suite, or a part of one: defaultTest, a scenario's config."""

    __test__ = False  # no test of ours, whatever pytest thinks of its name

    vars: dict[str, Any] = {}
    expectations: tuple[AnyExpectation, ...] = ()
    threshold: float | None = None
    description: str | None = None
    metadata: dict[str, Any] = {}
    prefix: str | None = None
    suffix: str | None = None
    transform: Script | None = None
    transform_vars: Script | None = None
    options: dict[str, Any] = {}
    """``model.options`` for its cases."""
    output_schema: dict[str, Any] | None = None
    as_json: bool = False
    store_as: str | None = None
    talks: bool | None = None
    """False: earlier turns are kept from it (``disableConversationVar``)."""
    judge: str | None = None
    rubric_prompt: str | None = None
    id: str | None = None
    prompts: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    expand: bool = True
    """Whether lists among its variables stand for one case each."""
    literal: bool = False
    """Whether variables are what they are: no lists to expand, no files, no references."""
    default_assertions: bool = True
    """Whether those of defaultTest are added."""
    at: At = At("")

    def over(self, default: Test) -> Test:
        """This test with what it leaves out taken from ``default``; assertions add up."""
        inherited = default.expectations if self.default_assertions else ()
        return msgspec.structs.replace(
            self,
            vars={**default.vars, **self.vars},
            expectations=(*inherited, *self.expectations),
            threshold=default.threshold if self.threshold is None else self.threshold,
            description=self.description or default.description,
            metadata={**default.metadata, **self.metadata},
            prefix=default.prefix if self.prefix is None else self.prefix,
            suffix=default.suffix if self.suffix is None else self.suffix,
            transform=self.transform or default.transform,
            transform_vars=self.transform_vars or default.transform_vars,
            options={**default.options, **self.options},
            output_schema=self.output_schema or default.output_schema,
            as_json=self.as_json or default.as_json,
            store_as=self.store_as or default.store_as,
            talks=default.talks if self.talks is None else self.talks,
            judge=self.judge or default.judge,
            rubric_prompt=self.rubric_prompt or default.rubric_prompt,
            prompts=default.prompts if self.prompts is None else self.prompts,
            providers=default.providers if self.providers is None else self.providers,
            expand=self.expand and default.expand,
        )


Outcome = Test | DatasetError
"""A test, or what is wrong with the row where one should be."""
