-- Usage in disjoint classes, one row per caller, model and class. Cached and cache-write tokens are part of
-- input_tokens, audio tokens part of both sides: what remains after them is the plain class.
SELECT
  usage_date, project_id, api_key_id, user_id, model, endpoint, batch, service_tier, size, token_class,
  CASE token_class
    WHEN 'images' THEN 'Images'
    WHEN 'characters' THEN 'Characters'
    WHEN 'seconds' THEN 'Seconds'
    WHEN 'storage' THEN 'Byte-Days'
    WHEN 'sessions' THEN 'Sessions'
    WHEN 'file_search' THEN 'Requests'
    WHEN 'web_search' THEN 'Requests'
    ELSE 'Tokens'
  END AS unit,
  CAST(SUM(quantity) AS NUMERIC) AS quantity
FROM (
  SELECT
    usage_date, project_id, api_key_id, user_id, model, endpoint, batch, service_tier, size, token_class,
    CASE token_class
      WHEN 'input' THEN uncached - input_audio
      WHEN 'input_audio' THEN input_audio
      WHEN 'cached_input' THEN cached - cached_audio
      WHEN 'cached_input_audio' THEN cached_audio
      WHEN 'cache_write' THEN cache_write
      WHEN 'output' THEN output - output_audio
      WHEN 'output_audio' THEN output_audio
      WHEN 'images' THEN images
      WHEN 'characters' THEN characters
      WHEN 'seconds' THEN seconds
      WHEN 'storage' THEN usage_bytes
      WHEN 'sessions' THEN num_sessions
      WHEN 'file_search' THEN IF(endpoint = 'file_search_calls', num_requests, NULL)
      WHEN 'web_search' THEN IF(endpoint = 'web_search_calls', num_requests, NULL)
    END AS quantity
  FROM (
    SELECT
      *,
      LEAST(COALESCE(input_audio_tokens, 0), uncached) AS input_audio,
      LEAST(COALESCE(input_cached_audio_tokens, 0), cached) AS cached_audio,
      LEAST(COALESCE(output_audio_tokens, 0), output) AS output_audio
    FROM (
      SELECT
        *,
        COALESCE(input_cached_tokens, 0) AS cached,
        COALESCE(input_cache_write_tokens, 0) AS cache_write,
        COALESCE(input_tokens, 0) - COALESCE(input_cached_tokens, 0) - COALESCE(input_cache_write_tokens, 0) AS uncached,
        COALESCE(output_tokens, 0) AS output
      FROM openai_usage_daily_raw
      WHERE usage_date >= @start_date AND usage_date < @end_date
    ) AS usage
  ) AS parts
  CROSS JOIN UNNEST([
    'input', 'input_audio', 'cached_input', 'cached_input_audio', 'cache_write', 'output', 'output_audio',
    'images', 'characters', 'seconds', 'storage', 'sessions', 'file_search', 'web_search'
  ]) AS token_class
) AS classes
WHERE quantity > 0
GROUP BY usage_date, project_id, api_key_id, user_id, model, endpoint, batch, service_tier, size, token_class
ORDER BY usage_date, project_id, api_key_id, user_id, model, endpoint, batch, service_tier, size, token_class
