// ADL's xAPIWrapper for node: an application states the SHA-1 of what it read, without quotes, or
// the ETag as it came. Objects go by POST, so the PUT here is of an object already made into text,
// as application/octect-stream, in the library's spelling. It cannot delete, but lets an application
// send requests of its own.

import { endpoint, isState, nameOf, password, require, run, user, version } from "./driver.mjs";

const adl = require("adl-xapiwrapper");
if (version !== null) adl.xapiversion = version;
const auth = { user, pass: password };
const wrapper = new adl.XAPIWrapper({ url: endpoint, auth });

let read = null;

function done(method, given, how = "") {
    return new Promise((resolve, reject) => {
        wrapper[method](...given, (error, response, body) =>
            error
                ? reject(error)
                : resolve({ status: response.statusCode, note: method + how, body, response }),
        );
    });
}

async function send(call, matchHash, noneMatchHash, how) {
    const given = {
        State: [call.activity, call.agent, call.id, null],
        ActivityProfile: [call.activity, call.id],
        AgentProfile: [call.agent, call.id],
    }[nameOf(call)];
    const method = "send" + nameOf(call);
    const by = typeof call.contents === "string" ? " text (PUT)" : " (POST)";
    const { status, note } = await done(
        method,
        [...given, call.contents, matchHash, noneMatchHash],
        how + by,
    );
    return { status, note };
}

await run("adl-xapiwrapper", {
    create: (call) => send(call, null, "*", " noneMatchHash *"),
    async read(call) {
        const given = {
            State: [call.activity, call.agent, call.id, null, null],
            ActivityProfile: [call.activity, call.id, null],
            AgentProfile: [call.agent, call.id, null],
        }[nameOf(call)];
        const { status, note, body, response } = await done("get" + nameOf(call), given);
        read = status === 200 ? { body, etag: response.headers.etag } : null;
        return { status, note, contents: read === null ? undefined : JSON.parse(body) };
    },
    update: (call) => send(call, adl.hash(read.body), null, " matchHash hash"),
    "update with the ETag": (call) => send(call, read.etag, null, " matchHash ETag"),
    overwrite: (call) =>
        send({ ...call, contents: JSON.stringify(call.contents) }, null, null, ""),
    delete: (call) =>
        new Promise((resolve, reject) => {
            const qs = isState(call) ? { stateId: call.id } : { profileId: call.id };
            if (call.resource !== "agents/profile") qs.activityId = call.activity;
            if (call.resource !== "activities/profile") qs.agent = JSON.stringify(call.agent);
            const url = endpoint + call.resource;
            adl.xapi_request({ method: "DELETE", url, auth, qs }, null, (error, response) =>
                error
                    ? reject(error)
                    : resolve({ status: response.statusCode, note: "xapi_request DELETE" }),
            );
        }),
});
