// @xapi/xapi: an application passes the ETag of what it read as it came, with the header to put it
// into. Its create… is a POST, its set… a PUT; without an ETag neither states a condition.

import { endpoint, isState, nameOf, password, require, run, user, version } from "./driver.mjs";

const library = require("@xapi/xapi");
const XAPI = library.default ?? library;
const client = new XAPI({
    endpoint,
    auth: XAPI.toBasicAuth(user, password),
    version: version ?? "1.0.3",
});

let etag;

async function done(verb, call, options = {}, how = "") {
    const method = verb + nameOf(call);
    const note = method + how;
    try {
        const answer = await client[method]({
            agent: call.agent,
            activityId: call.activity,
            ...(isState(call) ? { stateId: call.id } : { profileId: call.id }),
            ...(isState(call) ? { state: call.contents } : { profile: call.contents }),
            ...options,
        });
        return { status: answer.status, note, answer };
    } catch (error) {
        if (error.response === undefined) throw error;
        return { status: error.response.status, note };
    }
}

await run("@xapi/xapi", {
    // Its types ask for both where a profile is set, and for neither where State is.
    create: (call) =>
        isState(call)
            ? done("set", call)
            : done("set", call, { etag: "*", matchHeader: "If-None-Match" }, " If-None-Match *"),
    async read(call) {
        const { answer, ...said } = await done("get", call);
        etag = answer?.headers.etag;
        return { ...said, contents: answer?.data };
    },
    update: (call) => done("set", call, { etag, matchHeader: "If-Match" }, " If-Match"),
    merge: (call) => done("create", call),
    overwrite: (call) => done("set", call),
    "delete what was read": (call) => done("delete", call, { etag }, " etag"),
    delete: (call) => done("delete", call),
});
