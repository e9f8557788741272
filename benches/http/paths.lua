-- Requests one path after another from a file, for wrk: wrk ... -s paths.lua URL -- FILE [close]
local requests, at = {}, 0

function init(arguments)
    local headers = {}
    if arguments[2] == "close" then
        headers["Connection"] = "close"
    end
    for path in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format("GET", path, headers)
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        "result %d %d %d %d %d\n",
        summary.requests, summary.bytes, summary.duration, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout
    ))
end
