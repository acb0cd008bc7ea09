// TinCanJS: its documents remember the ETag they were read with, which goes back in as lastSHA1.
// Without one it writes State without a condition, and a profile with `If-None-Match: *`.

import { endpoint, nameOf, password, require, run, user, version } from "./driver.mjs";

const TinCan = require("tincanjs");
const lrs = new TinCan.LRS({ endpoint, username: user, password, allowFail: false });
if (version !== null) lrs.version = version; // the constructor accepts those alone that it knows

let read = null;

// Does lrs[method] on the document, and gives what its callback was given.
function done(method, call, ...given) {
    return new Promise((resolve) => {
        const options = typeof given.at(-1) === "object" ? given.pop() : {};
        lrs[method](call.id, ...given, {
            agent: new TinCan.Agent(call.agent),
            activity: new TinCan.Activity({ id: call.activity }),
            ...options,
            callback: (error, result) => resolve({ error, result }),
        });
    });
}

async function save(call, options, how) {
    const method = "save" + nameOf(call);
    const { error, result } = await done(method, call, call.contents, {
        contentType: "application/json",
        ...options,
    });
    return { status: error ?? result.status, note: method + how };
}

await run("tincanjs", {
    create: (call) => save(call, {}, ""),
    overwrite: (call) => save(call, {}, ""),
    update: (call) => save(call, { lastSHA1: read.etag }, " lastSHA1"),
    async read(call) {
        const method = "retrieve" + nameOf(call);
        const { error, result } = await done(method, call);
        read = error === null ? result : null;
        // Of a document that was read, the library keeps no status.
        const status = error ?? (result === null ? 404 : 200);
        return { status, contents: read?.contents, note: method };
    },
    async delete(call) {
        const method = "drop" + nameOf(call);
        const { error, result } = await done(method, call);
        return { status: error ?? result.status, note: method };
    },
});
