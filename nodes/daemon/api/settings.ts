/** The `api` section of a node's file. */
export interface ApiSettings {
  /** Host and port, such as 127.0.0.1:4080 or [::1]:0; port 0 is any free one. */
  listen: string
  /** Holds the bearer token; made, for its owner only, where it is missing. */
  tokenFile: string
  /** Host names, beside loopback ones and that of `listen`, under which the API may be called. */
  allowedHosts: string[]
  /** Origins of web pages of others that may call it, such as https://app.example. */
  allowedOrigins: string[]
  /** Nothing larger is read, whatever the task's length. */
  maxUploadBytes: number
  /**
   * A request that has not arrived whole after this time is answered with 408 and cut off; so is a client that takes nothing
   * of its answer for so long, without a word.
   */
  requestTimeoutSeconds: number
  /** Whether the page is served at /. */
  dashboard: boolean
}

export const defaultApiSettings = {
  listen: '127.0.0.1:4080',
  allowedHosts: [],
  allowedOrigins: [],
  maxUploadBytes: 2 ** 31,
  requestTimeoutSeconds: 300,
  dashboard: true
} satisfies Partial<ApiSettings>
