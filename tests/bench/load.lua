-- wrk's requests, each another one: `wrk -s load.lua URL`, with LOAD_FILE (see webhooks.write) and LOAD_HEAD, the first
-- line of each request, in the environment. At the file's end it begins again.

local SIZE, SIGNATURE = 8, 64
local file = assert(io.open(os.getenv('LOAD_FILE'), 'rb'))
file:setvbuf('full', 1048576)
local head = os.getenv('LOAD_HEAD') .. '\r\nHost: tollgate.example\r\nContent-Type: application/json\r\nX-Cal-Signature-256: '

function request()
  local size = file:read(SIZE)
  if not size then
    file:seek('set', 0)
    size = file:read(SIZE)
  end
  local signature = file:read(SIGNATURE)
  return head .. signature .. '\r\nContent-Length: ' .. tonumber(size) .. '\r\n\r\n' .. file:read(tonumber(size))
end
