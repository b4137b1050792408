package dev.edgegen.core.bench

import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import dev.edgegen.core.paths.AppFolders
import dev.edgegen.core.paths.PathPolicy
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import kotlinx.coroutines.CancellationException

/**
 * Carries out what a request file asks for, and leaves a result file, whatever happens.
 *
 * @param folders the app's; requests lie in `bench/ID/request.json` of its files.
 * @param engines by which the bundle is measured.
 * @param progress takes a line for each state.
 * @param pid of this process.
 * @param heat when the device is too hot to be measured.
 * @param pin pins this process to CPUs; tells whether it could.
 */
class HeadlessRunner(
    private val folders: AppFolders,
    private val engines: MeasuringEngineFactory,
    private val probe: DeviceProbe,
    private val progress: ProgressSink,
    private val pid: Int,
    private val heat: HeatLimit = HeatLimit(),
    private val pin: (Long) -> Boolean = { mask -> pinByTaskset(pid, mask) },
) {
    private val paths = PathPolicy(folders)

    /**
     * Runs the request of that name and returns its result, which also lies in
     * `bench/ID/result.json`; `null` if the name is none, so that there is no place for a result.
     */
    suspend fun run(id: String): BenchResult? {
        if (!NAME.matches(id)) return null
        val bench = folders.files.resolve("bench")
        val folder = bench.resolve(id)
        // Left over from runs that were cut off.
        bench.listFiles().orEmpty().filter { it != folder }.forEach { it.deleteRecursively() }
        tell(id, ProgressState.STARTED, pid)
        val result = try {
            measured(requestIn(folder, id))
        } catch (error: CancellationException) {
            throw error
        } catch (error: Throwable) {
            BenchResult(PROTOCOL, id, failure = failureOf(error))
        }
        leave(folder, result)
        tell(id, if (result.failure == null) ProgressState.DONE else ProgressState.FAILED)
        return result
    }

    private fun requestIn(folder: File, id: String): BenchRequest {
        val file = folder.resolve("request.json")
        if (!file.isFile) throw BenchRequest.bad("there is no bench/$id/request.json", AGAIN)
        if (file.length() > MOST_BYTES) {
            throw BenchRequest.bad("the request has ${file.length()} bytes", BenchRequest.CONTRACT)
        }
        return BenchRequest.parse(file.readText(), id)
    }

    private suspend fun measured(request: BenchRequest): BenchResult {
        val bundle = bundleOf(request)
        heat.refusal(probe.state())?.let { throw BadRequestException(it) }
        val cache = paths.cacheFolder(bundle)
        if (request.cold) cache.deleteRecursively()
        cache.mkdirs()
        if (request.cpuMask != null && !pin(request.cpuMask)) throw cannotPin(request.cpuMask)
        val run = measureOnce(
            engines,
            EngineConfig(
                bundle = bundle,
                delegate = request.delegate,
                threads = request.threads,
                activations = request.activations,
                cacheFolder = cache,
            ),
            Workload(request.prefillTokens, request.decodeTokens, request.depth),
            request.timeoutS,
            ProcessSampler(probe, request.sampleIntervalS),
        ) { step -> tell(request.id, step.state) }
        return BenchResult(
            protocol = PROTOCOL,
            id = request.id,
            wallS = run.wallS,
            metrics = run.metrics,
            failure = run.failure,
            memory = run.samples.memory,
            gpuAdapter = run.gpuAdapter,
            series = run.samples.series,
            missing = run.samples.missing,
            log = run.log.takeLast(MOST_LOG),
        )
    }

    private fun bundleOf(request: BenchRequest): File {
        val bundle = paths.benchBundle(request.bundle)
            ?: throw BenchRequest.bad(
                "the bundle '${request.bundle}' lies outside of the app's data folder",
                BenchRequest.CONTRACT,
            )
        if (bundle.isFile) return bundle
        throw BadRequestException(
            Failure(FailureKind.MISSING, "there is no ${request.bundle} in the app's data", AGAIN),
        )
    }

    private fun cannotPin(mask: Long) = BadRequestException(
        Failure(
            FailureKind.UNSUPPORTED,
            "the app cannot pin its threads to the CPUs ${mask.toString(HEXADECIMAL)}",
            "leave out --cpu-mask, or use a runner of programs",
        ),
    )

    private fun tell(id: String, state: ProgressState, pid: Int? = null) =
        progress.line(Progress(id, state, pid).encode())

    /** Leaves the result where it appears only when it is whole. */
    private fun leave(folder: File, result: BenchResult) {
        if (!folder.isDirectory && !folder.mkdirs()) throw IOException("$folder cannot be made")
        val part = folder.resolve("result.json.part")
        FileOutputStream(part).use {
            it.write(result.encode().encodeToByteArray())
            it.fd.sync()
        }
        if (!part.renameTo(folder.resolve("result.json"))) throw IOException("$part stays")
    }

    private val MeasuringStep.state: ProgressState
        get() = when (this) {
            MeasuringStep.OPENING -> ProgressState.OPENING
            MeasuringStep.PREFILL -> ProgressState.PREFILL
            MeasuringStep.DECODE -> ProgressState.DECODE
        }

    private companion object {
        // The name comes with an intent, which any app may send.
        val NAME = Regex("[A-Za-z0-9_-]{1,64}")
        const val MOST_BYTES = 64L * 1024
        const val MOST_LOG = 4 * 1024 * 1024
        const val HEXADECIMAL = 16
        const val AGAIN = "run edgegen bench again"
    }
}

/** Pins all threads of a process with the program that Android has for it, and looks at it. */
internal fun pinByTaskset(pid: Int, mask: Long): Boolean = try {
    val command = listOf("taskset", "-a", "-p", mask.toULong().toString(16), pid.toString())
    val ended = ProcessBuilder(command).redirectErrorStream(true).start()
        .also { it.inputStream.use { said -> said.readBytes() } }
        .waitFor()
    // The kernel leaves out CPUs that are not there.
    val allowed = File("/proc/$pid/status").readLines()
        .firstNotNullOfOrNull { ALLOWED.matchEntire(it) }
        ?.groupValues?.get(1)?.replace(",", "")?.takeLast(16)?.toULongOrNull(16)
    ended == 0 && allowed != null && allowed != 0uL && allowed and mask.toULong().inv() == 0uL
} catch (_: IOException) {
    false
}

private val ALLOWED = Regex("Cpus_allowed:\\s+([0-9a-f,]+)")
