import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { linter, lintKeymap, type Diagnostic } from "@codemirror/lint";
import { EditorState, Prec, StateEffect } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";
import { useEffect, useRef } from "react";
import { PREFIX } from "../lib/prefix.ts";
import type { Span } from "../lib/position.ts";

export interface EditorProps {
  value: string;
  onChange: (value: string) => void;
  onRun: () => void;
  /** Where the server found the error of the query that was run, or null. */
  fault: { span: Span | null; words: string } | null;
}

const colours = HighlightStyle.define([
  { tag: tags.name, color: "var(--text1)" },
  { tag: tags.number, color: "var(--warning)" },
  { tag: tags.string, color: "var(--ok)" },
  { tag: tags.keyword, color: "var(--acked)" },
  { tag: tags.function(tags.variableName), color: "var(--accent)" },
  { tag: tags.labelName, color: "var(--info)" },
  { tag: tags.operator, color: "var(--text2)" },
  { tag: tags.modifier, color: "var(--acked)" },
  { tag: tags.paren, color: "var(--text2)" },
  { tag: tags.squareBracket, color: "var(--text2)" },
  { tag: tags.brace, color: "var(--text2)" },
  { tag: tags.comment, color: "var(--text3)", fontStyle: "italic" },
]);

const look = EditorView.theme({
  "&": { fontSize: "0.875rem" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { padding: "9px 0", caretColor: "var(--text1)" },
  ".cm-line": { padding: "0 12px" },
  ".cm-placeholder": { color: "var(--text3)" },
  ".cm-cursor": { borderLeftColor: "var(--text1)" },
  ".cm-matchingBracket": { backgroundColor: "var(--accent-tint) !important", outline: "1px solid var(--accent)" },
  ".cm-tooltip": { backgroundColor: "var(--bg2)", border: "1px solid var(--line-strong)", borderRadius: "8px", boxShadow: "var(--pop-shadow)", overflow: "hidden", color: "var(--text1)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "0.8125rem", maxHeight: "280px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "4px 10px", lineHeight: "1.5" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-solid)", color: "var(--on-solid)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-completionDetail": { color: "inherit", opacity: "0.75", fontStyle: "normal", marginLeft: "10px" },
  ".cm-completionInfo": { padding: "8px 10px", maxWidth: "320px", fontFamily: "var(--font)" },
  ".cm-diagnostic": { padding: "6px 10px", fontFamily: "var(--font)" },
  ".cm-diagnostic-error": { borderLeft: "3px solid var(--critical-solid)" },
  ".cm-diagnostic-warning": { borderLeft: "3px solid var(--warning)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--critical) 1px", textUnderlineOffset: "4px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warning) 1px", textUnderlineOffset: "4px" },
});

/** Tells the linter that the server has answered: the text has not changed, but what is wrong with it may be known only now. */
const answered = StateEffect.define<null>();

function readNonce(): string {
  const meta = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]");
  return meta?.nonce || meta?.getAttribute("nonce") || "";
}

function promql() {
  return new PromQLExtension()
    .activateCompletion(true)
    .activateLinter(true)
    .setComplete({ remote: { url: "", apiPrefix: `${PREFIX}/api/v1`, httpMethod: "GET", cache: { maxAge: 120_000 } }, maxMetricsMetadata: 10_000 })
    .asExtension();
}

/** Edits a PromQL expression with completion from the server and the place of an error underlined. */
export default function PromqlEditor({ value, onChange, onRun, fault }: EditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef({ value, onChange, onRun, fault });
  useEffect(() => {
    latest.current = { value, onChange, onRun, fault };
  });

  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const faults = (editor: EditorView): Diagnostic[] => {
      const now = latest.current.fault;
      if (!now?.span || now.span.to > editor.state.doc.length) return [];
      return [{ from: now.span.from, to: now.span.to, severity: "error", message: now.words }];
    };
    const run = () => {
      latest.current.onRun();
      return true;
    };
    const editor = new EditorView({
      parent: element,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          EditorView.cspNonce.of(readNonce()),
          Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
          Prec.high(keymap.of(completionKeymap)),
          keymap.of([{ key: "Enter", run, shift: () => false }, ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...lintKeymap]),
          history(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ icons: false }),
          syntaxHighlighting(colours),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": "PromQL expression", spellcheck: "false", autocapitalize: "none" }),
          placeholder("PromQL expression"),
          promql(),
          linter(faults, { delay: 0, needsRefresh: (update) => update.transactions.some((each) => each.effects.some((effect) => effect.is(answered))) }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange(update.state.doc.toString());
          }),
          look,
        ],
      }),
    });
    view.current = editor;
    return () => {
      editor.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== value) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
    }
  }, [value]);

  useEffect(() => {
    view.current?.dispatch({ effects: answered.of(null) });
  }, [fault]);

  return <div className="editor" ref={host} />;
}
