import { DOCUMENTS, reaches, sourceOf } from "./runs.mjs";

const BASE = "/api/tocsin/v1";

/** Answers what belongs to runs, objectives, drills and journeys; returns whether it did. */
export function actRoutes({ request, url, body, session, world, json, problem, done }) {
  const { method } = request;
  const { acts, proof } = world;
  const path = url.pathname;
  const is = (how, where) => method === how && path === BASE + where;
  const found = (how, shape) => (method === how ? new RegExp(`^${BASE}${shape}$`).exec(path) : null);
  const name = (match, index = 1) => decodeURIComponent(match[index]);

  if (is("GET", "/runbooks")) return done(json(200, { server_time: new Date().toISOString(), documents: DOCUMENTS.map((each) => acts.showDocument(each, session)) }));
  const one = found("GET", "/runbooks/([^/]+)");
  if (one) {
    const document = acts.document(name(one));
    return done(document ? json(200, { ...acts.showDocument(document, session), source: sourceOf(document) }) : problem(404, "No such document", name(one)));
  }
  const start = found("POST", "/runbooks/([^/]+)/runs");
  if (start) {
    const document = acts.document(name(start));
    if (!document) return done(problem(404, "No such document", name(start)));
    if (!acts.showDocument(document, session).may_start) return done(problem(403, "You may not start this", acts.showDocument(document, session).why_not ?? ""));
    const missing = document.params.find((each) => each.required && !(body.params?.[each.name] ?? each.default));
    if (missing) return done(problem(422, "The parameters cannot be used", `parameter "${missing.name}" is required, and nothing gives it a value`));
    const off = acts.switches.global?.on || acts.switches.platforms.some((each) => each.name === document.platform && each.on);
    const run = acts.start(document, body.params ?? {}, session.name, { dry: body.dry_run === true });
    if (off) {
      const reason = "The kill switch is on";
      Object.assign(run, { state: "refused", waiting: null, refused_by: "kill_switch", reason, ended_at: run.created_at });
      return done(problem(409, "The run was refused", reason, { refusal: { guard: "kill_switch", reason }, run: run.id }));
    }
    return done(json(202, acts.show(run, session)));
  }
  if (is("GET", "/runs")) return done(json(200, acts.list(session, url.searchParams)));
  const html = found("GET", "/runs/([^/]+)/report.html");
  const report = found("GET", "/runs/([^/]+)/report");
  const shown = html ?? report;
  if (shown) {
    const run = acts.runs.find((each) => each.id === name(shown));
    if (!run || run.kind === "runbook" || run.ended_at === null) return done(problem(404, "No report", "A report exists for experiments and drills that have ended."));
    return done(json(200, proof.report(run, session)));
  }
  const at = found("GET", "/runs/([^/]+)");
  if (at) {
    const run = acts.runs.find((each) => each.id === name(at));
    return done(run ? json(200, acts.detail(run, session)) : problem(404, "No such run", name(at)));
  }
  const act = found("POST", "/runs/([^/]+)/(approve|cancel|pause|resume|human|settle)");
  if (act) {
    const run = acts.runs.find((each) => each.id === name(act));
    if (!run) return done(problem(404, "No such run", name(act)));
    if (!reaches(session.role, "operator")) return done(problem(403, "Your role may not do this", `It needs the role operator; yours is ${session.role}.`));
    const how = name(act, 2);
    const refused = how === "approve" ? acts.vote(run, session, body) : how === "human" ? acts.human(run, session, body) : how === "settle" ? acts.settle(run, session, body) : acts.steer(run, session, how);
    return done(refused ? problem(refused.status, refused.title, refused.detail) : json(200, acts.show(run, session)));
  }
  if (is("GET", "/suggestions")) {
    const page = world.pages.get(url.searchParams.get("page"));
    return done(json(200, { suggestions: acts.suggestions(world.alerts.get(url.searchParams.get("alert") ?? page?.alerts[0])) }));
  }
  if (is("GET", "/kill-switch")) return done(json(200, acts.switches));
  if (is("PUT", "/kill-switch")) {
    if (!reaches(session.role, body.on ? "operator" : "sre-lead")) return done(problem(403, "Your role may not do this", body.on ? "Pulling needs the role operator." : "Releasing needs the role sre-lead."));
    return done(json(200, acts.turn(body, session)));
  }
  if (is("GET", "/freezes")) return done(json(200, { freezes: acts.freezes }));
  if (is("POST", "/freezes")) {
    const freeze = { id: world.id("f"), by: session.name, ...body };
    acts.freezes.push(freeze);
    world.touch("runs");
    return done(json(201, freeze));
  }
  const thaw = found("DELETE", "/freezes/(\\w+)");
  if (thaw) {
    acts.freezes = acts.freezes.filter((each) => each.id !== name(thaw));
    world.touch("runs");
    return done(json(204));
  }
  if (is("GET", "/objectives")) return done(json(200, { server_time: new Date().toISOString(), objectives: proof.objectives() }));
  const objective = found("GET", "/objectives/([^/]+)");
  if (objective) {
    const detail = proof.objective(name(objective), Number(url.searchParams.get("points") ?? 200));
    return done(detail ? json(200, detail) : problem(404, "No such objective", name(objective)));
  }
  if (is("GET", "/drills")) return done(json(200, { drills: proof.drills(session) }));
  if (is("GET", "/experiments")) return done(json(200, { experiments: proof.experiments(session) }));
  if (is("GET", "/journeys")) return done(json(200, { journeys: proof.journeys() }));
  return false;
}
