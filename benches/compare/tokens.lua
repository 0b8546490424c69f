-- Each request with the next token of the file that the environment names.
local requests, next_one = {}, 0

function init()
    for token in io.lines(os.getenv("TOKENS")) do
        requests[#requests + 1] = token
    end
    -- A warm-up begins elsewhere, so that the measurement meets none of its tokens again.
    next_one = tonumber(os.getenv("FIRST"))
end

function request()
    next_one = next_one % #requests + 1
    return wrk.format(nil, nil, { Authorization = "Bearer " .. requests[next_one], Host = wrk.headers["Host"] })
end
