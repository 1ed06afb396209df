"""Each rule, on a small project with a page that breaks it and one that keeps it."""

import tempfile
import unittest
from pathlib import Path

import rules
from pages import anchors
from project import Project

FILES = {
    "Makefile": "test: ## Check\n\tcargo test\n",
    "docs/guide.md": "# A guide\n\n## What's `in` it?\n\n## Twice\n\n## Twice\n",
    "docs/reference/shop.settings.md": "## `auth`\n\n| `folder` | `TIDEMILL_AUTH__FOLDER` | none | |\n| `open` | |\n",
    "helm/tidemill/README.md": "| `nats.replicas` | `1` | |\n| `serviceDefaults.env` | `{}` | |\n",
    "scripts/run": "",
    "shared/events/Cargo.toml": '[package]\nname = "tidemill-events"\n',
    "shared/events/src/event.rs": "pub struct EventRef;\n\nimpl EventRef {\n    pub fn read() {}\n}\n\nimpl Other {}\n",
    "docs/reference/lake.settings.md": "## `silver`\n\n| `every_seconds` | |\n",
    "shared/lake/src/tables/silver.rs": 'SilverEvent is Silver / "events"\n',
    "services/alert/Cargo.toml": '[package]\nname = "tidemill-alert"\n',
    "services/alert/src/rules.rs": "pub enum Severity {\n    High,\n}\n\nfn load() {}\n",
    "services/enrichment/Cargo.toml": '[package]\nname = "tidemill-enrichment"\n',
    "services/enrichment/src/geo.rs": "struct Geo;\n\nfn place() {}\n",
}


class Rules(unittest.TestCase):
    def faults(self, text, place="docs/page.md"):
        with tempfile.TemporaryDirectory() as root:
            for file, content in {**FILES, place: text}.items():
                (Path(root) / file).parent.mkdir(parents=True, exist_ok=True)
                (Path(root) / file).write_text(content, encoding="utf-8")
            return list(rules.faults(Project(root)))

    def holds(self, text, place="docs/page.md"):
        self.assertEqual([], self.faults(text, place))

    def breaks(self, text, *faults, place="docs/page.md"):
        self.assertEqual([f"{place}:{fault}" for fault in faults], self.faults(text, place))

    def test_a_link_names_a_file(self):
        self.holds("[a](guide.md), [b](../shared/events), ![c](../scripts/run), [d](https://elsewhere.example/x.md)")
        self.breaks("One\n\n[a](guides.md)", "3: there is no guides.md")
        self.breaks("[up](../../out.md)", "1: there is no ../../out.md")
        self.breaks("[a]: gone.md", "1: there is no gone.md")

    def test_an_anchor_names_a_heading(self):
        self.holds("# Here\n\n[a](guide.md#whats-in-it), [b](guide.md#twice-1), [c](#here)")
        self.breaks("[a](guide.md#thrice) [b](#there)", "1: docs/guide.md has no heading #thrice",
                    "1: docs/page.md has no heading #there")

    def test_anchors_are_those_of_github(self):
        self.assertEqual(
            {"a-b", "what-it-is-and-why", "three-nats-servers-natsreplicas--3", "a-link"},
            anchors(["A *B*", "What it is, and why", "Three NATS servers (`nats.replicas = 3`)", "A [link](to.md)"]),
        )

    def test_a_whole_path_exists(self):
        self.holds("`shared/events/src/event.rs`, `services/*/src`, `scripts/run it`")
        self.holds("`<type>.json`, `application/json`")
        self.breaks("`shared/events/src/events.rs`", "1: there is no shared/events/src/events.rs")
        self.breaks("a\n\n```sh\nscripts/runs --now\n```", "4: there is no scripts/runs")
        self.breaks("`cat shared/bus/x`", "1: there is no shared/bus/x")

    def test_the_end_of_a_path_exists(self):
        self.holds("`event.rs`, `src/geo.rs`, `sort prices.json`")
        self.breaks("`events.rs`\n`alert/store`", "1: there is no events.rs", "2: there is no alert/store")

    def test_in_the_walk_a_section_names_the_crate(self):
        walk = "docs/ARCHITECTURE.md"
        self.holds("## Alert: how\n\n`rules.rs`, `shared/events`, `event.rs`\n\n## More\n\n`geo.rs`", place=walk)
        self.breaks("## Alert: how\n\n`geo.rs`", "3: there is no geo.rs in services/alert", place=walk)
        self.breaks("`event.rs`\n`shared/events`\n`geo.rs`", "3: there is no geo.rs in shared/events", place=walk)

    def test_a_symbol_is_in_its_file(self):
        self.holds("`event.rs` · `EventRef::read`, `EventRef`, and `read`; `rules.rs` · `Severity::High`\n· x")
        self.breaks("`event.rs`\n· `write`", "2: event.rs defines no write")
        self.breaks("`event.rs` · `read`, `Other::read`", "1: event.rs defines no Other::read")
        self.breaks("`rules.rs` · `load` and `Severity::Low`", "1: rules.rs defines no Severity::Low")

    def test_a_method_is_somewhere(self):
        self.holds("`EventRef::read`, `tidemill_alert::load`, `sqlx::Any`")
        self.breaks("`EventRef::write`", "1: EventRef::write is not defined")
        self.breaks("`tidemill_alert::place`", "1: tidemill_alert::place is not defined")
        self.breaks("`tidemill_bus::place`", "1: tidemill_bus::place is not defined")

    def test_in_the_walk_a_type_is_somewhere(self):
        walk = "docs/ARCHITECTURE.md"
        self.holds("## Alert: how\n\n`EventRef`, `Severity`\n\n| `Count` |", place=walk)
        self.breaks("`Desk`", "1: Desk is not defined", place=walk)
        self.breaks("## Alert: how\n\n`Geo`", "3: Geo is not defined", place=walk)
        self.holds("`Desk`")

    def test_a_setting_exists(self):
        self.holds("`auth.folder`, `open`; `auth.open = true`, `order.placed`")
        self.holds("`nats.replicas: 3`, `services.<name>.env`")
        self.breaks("`auth.file`", "1: there is no setting auth.file")
        self.breaks("`auth.folder` and `shut`", "1: there is no setting auth.shut")
        self.breaks("`nats.replica = 3`", "1: there is no setting nats.replica")
        self.holds("`TIDEMILL_AUTH__FOLDER_FILE=y`, `TIDEMILL_<SECTION>__<KEY>`")
        self.breaks("```sh\nTIDEMILL_AUTH__FILE=x\n```", "2: there is no variable TIDEMILL_AUTH__FILE")

    def test_a_table_of_the_lake_is_no_setting(self):
        self.holds("`silver.every_seconds`, `silver.events`, `silver.events.id`")
        self.breaks("`silver.orders`", "1: there is no setting silver.orders")

    def test_a_target_of_make_exists(self):
        self.holds("`make test`, make haste\n\n```sh\nmake      # lists\nA=1 make test\n```")
        self.breaks("`make tests`", "1: make has no target tests")
        self.breaks("```sh\nA=1 make check\n```", "2: make has no target check")

    def test_comments_and_code_blocks_are_no_prose(self):
        self.holds("<!-- `gone.rs` [a](gone.md) -->\n\n```md\n# `gone.rs`\n[a](gone.md)\n```\n\n`` a ` gone.rs ``")


if __name__ == "__main__":
    unittest.main()
