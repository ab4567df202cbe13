"""The sandbox in which prompt files and chat templates run.

Jinja2 with three changes, shared by both kinds of template:

*Origins.* The compiled template marks its own words as such and hands every ``{{ expression }}``
over together with the variables in it, so that a rendering is a
:class:`~localprompt.rendering.traced.TracedText`. Values are traced before they go in.

*Limits.* Loops, calls, filters and operators pay out of a
:class:`~localprompt.rendering.budget.Budget` before they do their work.

*Errors.* Whatever a template does wrong becomes a PromptFileError that names the file and the
line in it; nothing else leaves :func:`compile_template` and :func:`run`.

Templates cannot read other templates: ``include``, ``import`` and ``extends`` are refused. A
prompt is one file, which is what its sha256 vouches for.

The text of a rendering equals what plain Jinja2 makes of the same template and values; only what
is refused or stopped differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jinja2
import jinja2.compiler
import jinja2.ext
import jinja2.runtime
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from localprompt.records.prompt import Origin, Span
from localprompt.rendering.budget import STEP, Limits, current, printed_size, size_of, spending
from localprompt.rendering.failures import Place, mapped_errors
from localprompt.rendering.guards import (
    charged,
    format_cost,
    guarded_filters,
    is_builtin_method,
    method_cost,
    operator_cost,
    settled,
)
from localprompt.rendering.traced import TracedText, spans_of, trace_values

_OTHER_TEMPLATES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class GenerationBlock(jinja2.ext.Extension):
    """``{% generation %}…{% endgeneration %}``, by which chat templates mark answers for training.

    Its body renders as if the tags were not there.
    """

    tags = {"generation"}  # noqa: RUF012 - declared so by the base class

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class _Codegen(jinja2.compiler.CodeGenerator):
    """Compiles a template so that it says which words are its own."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return f"environment.own({super()._output_const_repr(group)})"

    def _output_child_pre(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        self.write("environment.output(")
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)

    def _output_child_post(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super()._output_child_post(node, frame, finalize)
        self.write(f", {_variables(node)!r})")

    def visit_Const(self, node: nodes.Const, frame: Any) -> None:  # noqa: N802
        if isinstance(node.value, str | tuple | list | dict):
            self.write(f"environment.own({node.value!r})")
        else:
            super().visit_Const(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:  # noqa: N802
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super().visit_Concat(node, frame)
            return
        self.write("environment.concat((")
        for part in node.nodes:
            self.write("environment.output(")
            self.visit(part, frame)
            self.write(f", {_variables(part)!r}), ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Any) -> None:  # noqa: N802
        self._visit_container(super().visit_List, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Any) -> None:  # noqa: N802
        if node.ctx == "load":
            self._visit_container(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Any) -> None:  # noqa: N802
        self._visit_container(super().visit_Dict, node, frame)

    def _visit_container(self, visit: Callable[..., Any], node: nodes.Node, frame: Any) -> None:
        self.write("environment.made(")
        visit(node, frame)
        self.write(")")


def _variables(node: nodes.Node) -> str | None:
    """The names in an expression; None where there are none, as in ``{{ "a" }}``."""
    names = [node.name] if isinstance(node, nodes.Name) else []
    names += [found.name for found in node.find_all(nodes.Name) if found is not node]
    return ", ".join(dict.fromkeys(names)) or None


class TracingEnvironment(ImmutableSandboxedEnvironment):
    """See the module. ``origin`` is whose words the template's own text is."""

    code_generator_class = _Codegen
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, origin: Origin, **options: Any) -> None:
        super().__init__(**options)
        self.origin: Origin = origin
        self.filters = guarded_filters()
        del self.globals["lipsum"]
        # Shadows the class's function: joining is where pieces of a template meet.
        self.concat = self.join_pieces  # type: ignore[method-assign]

    def own(self, value: Any) -> Any:
        """The template's own words; called by compiled templates."""
        return trace_values(value, self.origin)

    def output(self, value: Any, variables: str | None) -> str:
        """The text of an expression; called by compiled templates.

        The names in a prompt's expressions are its parameters'; those in a chat template's are
        its own affair.
        """
        current().spend(printed_size(value))
        text = str(value)
        names = variables if self.origin == "template" else None
        if isinstance(text, TracedText):
            return TracedText(_named(spans_of(text), names))
        if variables is None or self._is_count(value, variables):
            return TracedText((Span(text, self.origin),))
        return TracedText((Span(str.__str__(text), "variable", names),))

    def _is_count(self, value: Any, variables: str) -> bool:
        """A number that the template made, as ``loop.index``; never text."""
        number = value is None or isinstance(value, int | float)
        return number and (variables == "loop" or self.origin == "chat_template")

    def made(self, container: Any) -> Any:
        """A list, tuple or mapping that a template wrote; called by compiled templates."""
        return charged(container)

    def step(self) -> None:
        """A round of a loop; called by compiled templates."""

    def join_pieces(self, pieces: Iterable[str]) -> TracedText:
        spans: list[Span] = []
        for piece in pieces:
            current().spend(len(piece))
            spans.extend(spans_of(piece))
        return TracedText(spans)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        current().spend(STEP)
        if is_builtin_method(function):
            args = settled(args)
            current().spend(method_cost(function, args, kwargs))
        return charged(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        current().spend(operator_cost(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        bounded = super().wrap_str_format(_plain_method(value))
        if bounded is None:
            return None
        text: str = value.__self__

        def format_within_limits(*args: Any, **kwargs: Any) -> str:
            current().spend(format_cost(text, args, kwargs))
            return bounded(*args, **kwargs)

        return format_within_limits

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        for node in source.find_all(_OTHER_TEMPLATES):
            raise jinja2.TemplateSyntaxError(
                f"a prompt is one file: {type(node).__name__.lower()} is not possible", node.lineno
            )
        for loop in list(source.find_all(nodes.For)):
            _count_rounds(loop)
        source.set_environment(self)
        return super()._generate(source, *args, **kwargs)


def _count_rounds(loop: nodes.For) -> None:
    """Let each round of a loop pay, also those that its ``if`` passes over."""
    step = nodes.Call(nodes.EnvironmentAttribute("step"), [], [], None, None, lineno=loop.lineno)
    if loop.test is None:
        loop.body.insert(0, nodes.ExprStmt(step, lineno=loop.lineno))
    else:
        loop.test = nodes.And(nodes.Not(step), loop.test, lineno=loop.lineno)


def _named(spans: tuple[Span, ...], variables: str | None) -> Iterator[Span]:
    """Fill in the expression's variables where it is not known which one text came from."""
    for span in spans:
        if span.origin == "variable" and span.source is None:
            yield Span(span.text, "variable", variables)
        else:
            yield span


def _plain_method(value: Any) -> Any:
    """``format`` of a traced string, as a method of the plain one."""
    owner = getattr(value, "__self__", None)
    if isinstance(owner, TracedText) and value.__name__ in ("format", "format_map"):
        return getattr(str.__str__(owner), value.__name__)
    return value


def parse_template(environment: TracingEnvironment, source: str, place: Place) -> nodes.Template:
    """The syntax tree of a template.

    Raises:
        PromptFileError: with the file and line of a syntax error.
    """
    with mapped_errors(place, ()):
        return environment.parse(source)


def compile_template(
    environment: TracingEnvironment, source: str, place: Place, limits: Limits
) -> jinja2.Template:
    """Compile, within limits: constant expressions are already evaluated here.

    Raises:
        PromptFileError: with the file and line of a syntax error.
        TemplateLimitError: a constant expression is too large.
    """
    with spending(limits), mapped_errors(place, ()):
        return environment.from_string(source)


def run(
    template: jinja2.Template, values: Mapping[str, Any], place: Place, limits: Limits
) -> TracedText:
    """Render a compiled template.

    Raises:
        PromptFileError: with the file and line of what went wrong, or of an undefined variable.
        TemplateLimitError: it was stopped.
    """
    environment = template.environment
    assert isinstance(environment, TracingEnvironment)  # noqa: S101
    with spending(limits), mapped_errors(place, tuple(values), lambda: size_of(values, limits)):
        context = template.new_context(dict(values))
        return environment.join_pieces(template.root_render_func(context))
