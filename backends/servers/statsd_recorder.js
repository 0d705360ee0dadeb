// A backend of StatsD: appends each packet, and each second's outcome, as a line of JSON to a file.
const fs = require('fs');
const path = require('path');

function pick(values, keep) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => keep(value)));
}

exports.init = function init(startupTime, config, events) {
  const packets = fs.createWriteStream(path.join(config.recordInto, 'packets.jsonl'), { flags: 'a' });
  const flushes = fs.createWriteStream(path.join(config.recordInto, 'flushes.jsonl'), { flags: 'a' });

  let received = false;

  events.on('packet', (message) => {
    received = true;
    packets.write(`${JSON.stringify({ bytes: message.length, text: message.toString() })}\n`);
  });

  // StatsD reports a name for ever; only what came in this second is of interest. Gauges it cannot tell apart.
  events.on('flush', (timestamp, metrics) => {
    if (!received) return;
    received = false;
    const sets = Object.entries(metrics.sets).map(([name, set]) => [name, set.values()]);
    flushes.write(`${JSON.stringify({
      timestamp,
      counters: pick(metrics.counters, (count) => count !== 0),
      timers: pick(metrics.timers, (durations) => durations.length > 0),
      gauges: metrics.gauges,
      sets: pick(Object.fromEntries(sets), (members) => members.length > 0),
    })}\n`);
  });
  return true;
};
