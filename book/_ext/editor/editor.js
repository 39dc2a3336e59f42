// The code editor of the book's pages: CodeMirror with what a cell of Python needs, and no more.
// Bundled at build time into one module, which a page loads when a reader first touches a cell.

import {
  acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentLess, indentMore } from "@codemirror/commands";
import { python, pythonLanguage } from "@codemirror/lang-python";
import {
  bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting,
} from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { drawSelection, EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";

// Colours come from the page's style, which knows light and dark.
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], class: "mp-keyword" },
  { tag: [tags.string, tags.special(tags.string)], class: "mp-string" },
  { tag: [tags.number, tags.bool, tags.null], class: "mp-number" },
  { tag: tags.comment, class: "mp-comment" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], class: "mp-function" },
]);

/**
 * Open an editor in place of `place`.
 * `run` and `leave` are called by Shift-Enter and by Escape, `changed` with each new text;
 * `complete` is a completion source of CodeMirror; `selection` is [anchor, head].
 */
export function openEditor(place, { text, label, describedBy, selection, run, leave, changed, complete }) {
  const keys = [
    { key: "Shift-Enter", run: () => (run(), true) },
    { key: "Mod-Enter", run: () => (run(), true) },
    { key: "Tab", run: (view) => acceptCompletion(view) || indentMore(view), shift: indentLess },
  ];
  const view = new EditorView({
    state: EditorState.create({
      doc: text,
      selection: selection && { anchor: selection[0], head: selection[1] },
      extensions: [
        history(),
        drawSelection(),
        indentOnInput(),
        indentUnit.of("    "),
        bracketMatching(),
        closeBrackets(),
        python(),
        pythonLanguage.data.of({ autocomplete: complete }),
        autocompletion({ icons: false }),
        syntaxHighlighting(colours),
        EditorView.contentAttributes.of({ "aria-label": label, "aria-describedby": describedBy }),
        EditorView.updateListener.of((update) => update.docChanged && changed(update.state.doc.toString())),
        Prec.highest(keymap.of(keys)),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap]),
        // After completion's own Escape, which closes its list first.
        keymap.of([{ key: "Escape", run: () => (leave(), true) }, ...defaultKeymap]),
      ],
    }),
  });
  place.replaceWith(view.dom);
  return {
    focus: () => view.focus(),
    get text() {
      return view.state.doc.toString();
    },
    set text(text) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
  };
}
