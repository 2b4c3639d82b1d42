// The pictures of clips: small ones that move by themselves, and all frames of one to be drawn exactly.
import { h } from "../studio.js";

const KEPT = 6; // films that stay in memory: one of 32 frames takes up to 19 MB
const THUMBNAIL_SECONDS = 0.16; // per frame

/** The address of a clip's 'thumbnail', 'sheet' or 'video'. `clip` is a card: { clip_id, edition }. */
export function mediaUrl(clip, kind) {
  return `./studio/clip/${encodeURIComponent(clip.clip_id)}/${kind}?e=${encodeURIComponent(clip.edition)}`;
}

// -- thumbnails

/** @type {IntersectionObserver | null} */
let watcher = null;
/** What is still to be fetched once its node comes near the screen. @type {WeakMap<Element, () => void>} */
const unfetched = new WeakMap();

/** A picture of the clip that moves while it can be seen; it is fetched once it comes near the screen. */
export function movingThumbnail(clip) {
  const strip = h("span.thumb-strip");
  const node = h("span.thumb", { "aria-hidden": "true" }, strip);
  unfetched.set(node, () => loadThumbnail(clip, strip));
  watcher ??= new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        target.classList.toggle("on-screen", isIntersecting);
        if (!isIntersecting) continue;
        unfetched.get(target)?.();
        unfetched.delete(target);
      }
    },
    { rootMargin: "120px" },
  );
  watcher.observe(node);
  return node;
}

/** Forget thumbnails that leave the page. */
export function dropThumbnails(parent) {
  for (const node of parent.querySelectorAll(".thumb")) watcher?.unobserve(node);
}

/** Fetch a thumbnail before it is needed. */
export function prefetchThumbnail(clip) {
  new Image().src = mediaUrl(clip, "thumbnail");
}

function loadThumbnail(clip, strip) {
  const frames = clip.thumbnail_frames;
  const picture = new Image();
  picture.onload = () => {
    const ratio = picture.naturalWidth / frames / picture.naturalHeight;
    Object.assign(strip.style, {
      backgroundImage: `url("${picture.src}")`,
      backgroundSize: `${100 * frames}% 100%`,
      aspectRatio: String(ratio),
      [ratio > 1 ? "width" : "height"]: "100%",
    });
    if (frames < 2) return;
    // Important, so that hovering still shows it as it is where the reader prefers things still.
    strip.style.setProperty("animation-timing-function", `steps(${frames}, jump-none)`, "important");
    strip.style.setProperty("animation-duration", `${frames * THUMBNAIL_SECONDS}s`, "important");
    strip.classList.add("moves");
  };
  picture.onerror = () => strip.replaceWith(h("span.thumb-missing", {}, "cannot be drawn"));
  picture.src = mediaUrl(clip, "thumbnail");
}

// -- all frames

const films = new Map();

/** All frames of a clip; rejects with the server's words where they cannot be had. */
export function loadFilm(clip) {
  const key = mediaUrl(clip, "sheet");
  const kept = films.get(key);
  films.delete(key);
  const film = kept ?? fetchFilm(key);
  films.set(key, film);
  film.catch(() => films.delete(key));
  while (films.size > KEPT) films.delete(films.keys().next().value);
  return film;
}

async function fetchFilm(address) {
  let reply;
  try {
    reply = await fetch(address);
  } catch {
    throw new Error("The studio does not answer, so the frames could not be fetched.");
  }
  if (!reply.ok) throw new Error((await reply.text()).slice(0, 500));
  const layout = JSON.parse(reply.headers.get("X-Sheet") ?? "");
  return new Film(layout, await createImageBitmap(await reply.blob()));
}

/** Frames of one clip: `frames` of `width` × `height` pixels. */
class Film {
  constructor({ frames, columns, width, height }, picture) {
    this.frames = frames;
    this.columns = columns;
    this.width = width;
    this.height = height;
    this.picture = picture;
  }

  /** Draw frame `index` (the last one beyond the end), pixel by pixel, into a canvas that takes its size. */
  draw(canvas, index) {
    const { width, height } = this;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.#copy(canvas, index, width, height);
  }

  /** A canvas of `size` pixels high with frame `index`, for a strip. */
  small(index, size) {
    const canvas = h("canvas", { width: Math.max(1, Math.round((size * this.width) / this.height)), height: size });
    this.#copy(canvas, index, canvas.width, canvas.height);
    return canvas;
  }

  #copy(canvas, index, width, height) {
    const at = Math.max(0, Math.min(index, this.frames - 1));
    const [x, y] = [at % this.columns, Math.floor(at / this.columns)];
    const target = canvas.getContext("2d");
    target.imageSmoothingQuality = "high";
    target.drawImage(this.picture, x * this.width, y * this.height, this.width, this.height, 0, 0, width, height);
  }
}
